"""S3, and stores that speak its language: objects, credentials, the way there, and what refusals mean."""
