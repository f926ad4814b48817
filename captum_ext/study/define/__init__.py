"""What a study is made of: its grid, its models, images, methods and metrics, and study files."""
