"""What a schedule does, told as text, as Mermaid and as a picture."""
