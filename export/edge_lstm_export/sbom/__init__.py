"""Software bills of materials: CycloneDX 1.6 in JSON, of a bundle or of a wheel."""
