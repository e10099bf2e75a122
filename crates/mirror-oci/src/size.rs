//! Sizes for people.

use std::fmt;

/// A number of bytes, shown in binary units: `48.0 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = "KiB";
        for next in ["MiB", "GiB", "TiB", "PiB"] {
            if value < 1023.95 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        f.pad(&format!("{value:.1} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (50_331_648, "48.0 MiB"),
            (1_073_700_000, "1.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ];
        for (size, text) in cases {
            assert_eq!(ByteSize(size).to_string(), text);
        }
    }
}
