"""A service: samples from a message bus or over HTTP, answers back, a state for each stream.

A transport (`mqtt.py`, `http.py`) puts messages into the queue of the `Core`. One worker thread
takes them, and no other thread touches a session. `stream.py` answers the messages of one stream,
`payload.py` says what a message may be, `../stored.py` keeps the states on the disk.
"""
