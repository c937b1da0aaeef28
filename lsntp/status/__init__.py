"""How every domain stands, for people (a page) and for programs (JSON), beside the archives."""
