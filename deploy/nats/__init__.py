"""The bus's server: who may say what, and its configuration, both derived from shared/contracts."""
