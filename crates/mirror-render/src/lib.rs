//! Values into text, for people and for CI. The same value gives the same bytes.

pub mod ci;
pub mod people;
