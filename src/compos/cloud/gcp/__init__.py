"""Google Cloud, by google-auth and the REST APIs of Compute Engine and Cloud Storage."""
