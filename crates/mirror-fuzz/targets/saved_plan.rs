//! Any bytes as a saved plan: refused, or one that is the same when it is written again.
#![no_main]

use mirror_oci::{Algorithm, Digest};
use mirror_plan::plan::{SavedPlan, write_plan};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(plan) = SavedPlan::read(bytes, |_| Ok(())).and_then(SavedPlan::shown) else { return };
    let digest = Digest::of(Algorithm::Sha256, b"");
    let mut again = Vec::new();
    let wrote = write_plan(&mut again, &plan, (&digest, &digest), std::iter::empty());
    assert!(wrote.is_ok());
    let read = SavedPlan::read(&again[..], |_| Ok(())).and_then(SavedPlan::shown);
    assert_eq!(read, Ok(plan));
});
