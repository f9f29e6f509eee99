"""The skill secure: unsafe code, and the edit that makes it safe."""
