"""What a Python program calls with its data in memory: `fit`, and scikit-learn's estimators."""
