//! Element type and symbolic shape of every value.
