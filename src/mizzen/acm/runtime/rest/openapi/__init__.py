"""What the API says of itself: a document for programs, and the same as a page that needs nothing from elsewhere."""
