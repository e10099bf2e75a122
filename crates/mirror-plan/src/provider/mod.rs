//! What a cloud allows and keeps beside the protocol.

pub mod ecr;
