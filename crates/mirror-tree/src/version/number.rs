//! Numbers in tags.

use std::cmp::Ordering;
use std::fmt;

/// A number of any length: tags have had forty digits, which no integer holds.
///
/// ```
/// use mirror_tree::version::Number;
///
/// assert!(Number::of("9") < Number::of("10"));
/// assert_eq!(Number::of("007").to_string(), "7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// The number that decimal digits write, with zeros in front or without.
    pub fn of(digits: &str) -> Number {
        let bare = digits.trim_start_matches('0');
        Number(if bare.is_empty() { "0".to_owned() } else { bare.to_owned() })
    }

    /// The numbers between dots.
    pub(super) fn list(text: &str) -> Vec<Number> {
        text.split('.').filter(|part| !part.is_empty()).map(Number::of).collect()
    }

    /// The next one.
    pub(super) fn next(&self) -> Number {
        let mut digits: Vec<u8> = self.0.bytes().collect();
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return Number(digits.iter().map(|digit| char::from(*digit)).collect());
            }
            *digit = b'0';
        }
        Number(format!("1{}", digits.iter().map(|digit| char::from(*digit)).collect::<String>()))
    }

    /// How many digits it has.
    pub(super) fn digits(&self) -> usize {
        self.0.len()
    }

    /// What JavaScript makes of it, in whose numbers there is room for some sixteen digits.
    pub(super) fn rounded(&self) -> f64 {
        self.0.parse().unwrap_or(f64::INFINITY)
    }

    /// Its value, or the largest there is.
    pub(super) fn value(&self) -> u64 {
        self.0.parse().unwrap_or(u64::MAX)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
