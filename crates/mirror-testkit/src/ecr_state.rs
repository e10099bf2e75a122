//! What ECR knows of an account beyond images.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The account that all fake registries belong to.
pub const ACCOUNT: &str = "123456789012";

/// One repository, as its owner has set it up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) mutability: Option<String>,
    pub(crate) filters: Vec<Value>,
    pub(crate) encryption: Option<Value>,
    pub(crate) scan: bool,
    pub(crate) lifecycle: Option<String>,
    pub(crate) preview: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What ECR knows of one region beyond images.
#[derive(Debug, Default)]
pub(crate) struct Region {
    pub(crate) repositories: BTreeMap<String, Kept>,
    pub(crate) tokens: BTreeMap<String, bool>,
    pub(crate) mounting: bool,
    pub(crate) archived: BTreeSet<String>,
    pub(crate) keyless: BTreeSet<String>,
    pub(crate) pushes: Vec<tokio::time::Instant>,
}
