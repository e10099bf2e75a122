//! How fast and how often a host may be asked.

pub(crate) mod pace;
pub(crate) mod pressure;
pub(crate) mod pulls;
pub(crate) mod rates;
pub(crate) mod retry;
