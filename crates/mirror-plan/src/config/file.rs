//! The shape of `images/mirror.toml`. What the values mean is checked in [`crate::config`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Configuration of a mirror. Everything is optional; without a destination, images go to `./mirror-store`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "tables and values as in images/README.md")]
#[schemars(title = "images/mirror.toml")]
pub(crate) struct ConfigFile {
    /// Where images go.
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
    /// Exceptions for some images; where several match, the last one wins, key by key.
    #[serde(default)]
    pub(crate) image: Vec<ImageFile>,
}

/// A place that images are copied to: a registry or an OCI image layout, one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with `name`, and `registry` or `layout`")]
pub(crate) struct DestinationFile {
    /// What plans and messages call it.
    #[schemars(with = "String")]
    pub(crate) name: Spanned<String>,
    /// The registry, `host[:port]`.
    #[schemars(with = "Option<String>")]
    pub(crate) registry: Option<Spanned<String>>,
    /// The folder of an OCI image layout, relative to the folder that holds the tree.
    #[schemars(with = "Option<String>")]
    pub(crate) layout: Option<Spanned<String>>,
    /// The repository of a copy; `{registry}`, `{repository}` and `{name}` (its last component) are replaced.
    /// Default: `{registry}/{repository}`.
    #[schemars(with = "Option<String>")]
    pub(crate) repository: Option<Spanned<String>>,
    /// For Amazon ECR: how repositories are made and kept.
    #[schemars(with = "Option<EcrFile>")]
    pub(crate) ecr: Option<Spanned<EcrFile>>,
}

/// How repositories of an ECR destination are made and kept. What is not mentioned is left alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct EcrFile {
    /// In an exception: glob over repository names at the destination, `docker.io/library/*`; `*` stops at `/`, `**`
    /// doesn't.
    #[serde(rename = "match")]
    #[schemars(with = "Option<String>")]
    pub(crate) pattern: Option<Spanned<String>>,
    /// Make repositories that are missing; the default.
    pub(crate) create: Option<bool>,
    /// Whether tags can't be moved: true, false, or `{ except = ["latest*"] }`.
    #[schemars(with = "Option<ImmutableTagsFile>")]
    pub(crate) immutable_tags: Option<Spanned<ImmutableTagsFile>>,
    /// `"AES256"`, `"KMS"` or the ARN of a key. Can't be changed later.
    #[schemars(with = "Option<String>")]
    pub(crate) encryption: Option<Spanned<String>>,
    /// Scan each image that is pushed.
    pub(crate) scan_on_push: Option<bool>,
    /// Which images expire: a table, or the name of a JSON file beside `mirror.toml`.
    #[schemars(with = "Option<DocumentFile>")]
    pub(crate) lifecycle_policy: Option<Spanned<DocumentFile>>,
    /// Who else may do what: a table, the name of a JSON file beside `mirror.toml`, or
    /// `{ organization = "o-…" }` to let everybody there pull.
    #[schemars(with = "Option<DocumentFile>")]
    pub(crate) repository_policy: Option<Spanned<DocumentFile>>,
    /// Resource tags.
    pub(crate) tags: Option<BTreeMap<String, String>>,
    /// Exceptions for some repositories; where several match, the last one wins, key by key.
    #[serde(default)]
    pub(crate) repository: Vec<EcrFile>,
}

/// Whether tags can't be moved.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "true, false, or a table with `except`")]
pub(crate) enum ImmutableTagsFile {
    /// All of them, or none.
    All(bool),
    /// All but some.
    Except(ExceptFile),
}

/// Tags that can be moved all the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptFile {
    /// Names with `*` for any characters, five at most.
    pub(crate) except: Vec<String>,
}

/// A JSON document.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "the name of a JSON file, or a table")]
pub(crate) enum DocumentFile {
    /// A file beside `mirror.toml`.
    File(String),
    /// The document itself.
    Inline(serde_json::Map<String, serde_json::Value>),
}

/// Settings of one host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct RegistryFile {
    /// Where to really go: `http://` or `https://`, host and optional port.
    #[schemars(with = "Option<String>")]
    pub(crate) endpoint: Option<Spanned<String>>,
    /// The token service that our credentials may go to, `https://` and host, where it isn't on the registry's own
    /// host and not one of the well-known ones.
    #[schemars(with = "Option<String>")]
    pub(crate) token_realm: Option<Spanned<String>>,
    /// Registries with the same content by digest, asked first: a host, optionally with a path in front of the
    /// repository, `public.ecr.aws/docker`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) alternatives: Vec<Spanned<String>>,
    /// Most requests at once, 1 to 256.
    #[schemars(with = "Option<u16>", range(min = 1, max = 256))]
    pub(crate) concurrency: Option<Spanned<u16>>,
    /// For Amazon ECR: the role to assume there, `arn:aws:iam::123456789012:role/mirror`.
    #[schemars(with = "Option<String>")]
    pub(crate) role: Option<Spanned<String>>,
    /// Whether the bots need credentials for it: `mirror bots` then names secrets.
    #[serde(default)]
    pub(crate) private: bool,
    /// Whether it may redirect from a public address to a private, loopback or link-local one, as a registry of your
    /// own in front of your own storage does. Never by default.
    #[serde(default)]
    pub(crate) private_redirects: bool,
}

/// What the tree must be like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct CheckFile {
    /// Every reference needs a digest.
    #[serde(default)]
    pub(crate) require_digest: bool,
    /// A digest without a tag is fine; it is copied without a tag.
    #[serde(default)]
    pub(crate) allow_digest_only: bool,
}

/// How images are copied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of settings")]
pub(crate) struct CopyFile {
    /// Signatures, attestations and other referrers of images.
    #[serde(default)]
    pub(crate) referrers: Referrers,
}

/// What to do about signatures, attestations and other referrers of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Referrers {
    /// Copy them; a destination that refuses them gives a warning.
    #[default]
    Copy,
    /// Copy them; a destination that refuses them makes the image fail.
    Require,
    /// Don't look for them.
    Off,
}

/// An exception for the images that a glob matches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with `match`")]
pub(crate) struct ImageFile {
    /// Glob over fully spelled names without tag, `docker.io/library/*`; `*` stops at `/`, `**` doesn't.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pub(crate) pattern: Spanned<String>,
    /// Copy to these destinations only.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) destinations: Option<Vec<Spanned<String>>>,
    /// Copy these platforms only, `os/architecture[/variant]`.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) platforms: Option<Vec<Spanned<String>>>,
}
