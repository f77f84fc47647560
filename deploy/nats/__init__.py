"""The bus's server: who may publish and subscribe to what, and its configuration, both derived from shared/contracts."""
