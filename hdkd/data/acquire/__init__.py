"""Images as they come: generated, downloaded, or from a local archive or folder."""
