"""Show the Streamlit pages. A rerun reads the store and never calls the API."""
