"""What the server says of its own routes: an OpenAPI document, and a page to read and try them by."""
