//! Amazon ECR: its registries, the settings of its repositories, and who may do what.

pub(crate) mod iam;
pub(crate) mod registry;
pub(crate) mod section;
pub(crate) mod settings;

pub use iam::{Context, IamRole, Workflow, accounts, permissions, trust};
pub use registry::EcrRegistry;
