//! The shape of `images/mirror.toml`. What the values mean is checked in [`crate::config`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::bots::section::BotsFile;
use crate::config::check::CheckFile;
use crate::config::copy::CopyFile;
use crate::config::hosts::RegistryFile;
use crate::want::section::{DestinationFile, ImageFile};

/// Configuration of a mirror. Everything is optional; without a destination, images go to `./mirror-store`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "tables and values as in images/README.md")]
#[schemars(title = "images/mirror.toml")]
pub(crate) struct ConfigFile {
    /// Destinations: where images go.
    #[serde(default)]
    #[schemars(with = "Vec<DestinationFile>")]
    pub(crate) destination: Vec<Spanned<DestinationFile>>,
    /// Settings of a host, as source or destination, by the name that references use.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RegistryFile>")]
    pub(crate) registry: BTreeMap<Spanned<String>, RegistryFile>,
    /// What the tree must be like.
    #[serde(default)]
    pub(crate) check: CheckFile,
    /// How images are copied.
    #[serde(default)]
    pub(crate) copy: CopyFile,
    /// How Dependabot and Renovate go about it.
    #[serde(default)]
    pub(crate) bots: BotsFile,
    /// Exceptions for some images; where several match, the last one wins, key by key.
    #[serde(default)]
    pub(crate) image: Vec<ImageFile>,
}
