"""Show the pages of the app.

Not in a folder ``pages`` beside ``main.py``: Streamlit would run its files by themselves when the
first address that a server is asked for is that of a page.
"""
