"""A checker of Bicep without its compiler: tree-sitter's grammar, Azure's types from azmcp, and a file's own names."""
