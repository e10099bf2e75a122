//! Seeds that broke something once. They are played first.

/// Each with what it found.
pub const KNOWN: &[(u64, &str)] = &[
    (9, "a blob that is held nowhere waited for a reader who waited for its last byte"),
    (57, "two who waited for room on the disk woke each other without end"),
    (81, "room that others had taken and not written yet looked free"),
    (96, "a list of referrers was put once only where a registry needs a moment"),
    (90, "an image that needs more pulls than there are in a window was never read"),
    (103, "lists of referrers were read again in each pass, at the cost of pulls"),
    (993, "more machines than pulls: each had none"),
    (1051, "a tag that was written was called failed when the response was lost"),
    (1428, "what a failed download left on the disk was counted as free"),
    (3932, "a throttled PATCH was taken for one that a registry does not take"),
    (5375, "who waited for room gave up while others were sending"),
    (20115, "an empty blob, which proves nothing, was taken for proof that whole PUTs work"),
];
