//! Where images go.

use mirror_oci::Registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a destination is.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// A registry, by the name that references use.
    Registry(#[schemars(with = "String")] Registry),
    /// The folder of an OCI image layout, as written: relative to the folder that holds the tree, or absolute.
    Layout(String),
}
