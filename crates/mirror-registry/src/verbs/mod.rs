//! The steps of the protocol, as methods of [`Remote`](crate::Remote).

pub(crate) mod blob;
pub(crate) mod flow;
pub(crate) mod manifest;
pub(crate) mod pages;
pub(crate) mod referrers;
pub(crate) mod send;
pub(crate) mod session;
pub(crate) mod tags;
pub(crate) mod upload;
