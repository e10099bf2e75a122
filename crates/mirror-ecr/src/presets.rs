//! What is known of Amazon's registries before they are asked.

use mirror_registry::{Mounts, Presets, RequestRates};

/// A private registry: it says nothing of what is there when an upload is opened, and whether it mounts is a setting of the
/// account, which is asked for ([`crate::Ecr::learn_mounts`]). Its sessions can't be given back, and cost nobody anything.
///
/// The rates are the default quotas of a region, which can be raised but not asked for:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>.
pub fn private_presets() -> Presets {
    Presets {
        mounts: Some(Mounts::Nothing),
        mounts_from_itself: Some(false),
        ends_sessions: Some(false),
        whole_puts: Some(true),
        lists_referrers: Some(true),
        rates: RequestRates {
            manifests: Some(10),
            uploads: Some(100),
            blobs: Some(100),
            pulls: None,
        },
    }
}

/// `public.ecr.aws`. The rate is that of image pulls with a login; without one it is lower, and refusals make us slower:
/// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-service-quotas.html>.
pub fn public_presets() -> Presets {
    let rates = RequestRates { pulls: Some(10), ..RequestRates::default() };
    Presets { rates, ..Presets::default() }
}
