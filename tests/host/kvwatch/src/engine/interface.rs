//! The names of interfaces, with their versions.

/// `wasi:cli/stdout` of `wasi:cli/stdout@0.2.6`.
pub(crate) fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

/// Whether one interface can stand for the other: the names are equal, and the versions are compatible as semver has it.
///
/// The tools that build components merge such versions, and so does a host that links them.
pub(crate) fn are_compatible(one: &str, other: &str) -> bool {
    without_version(one) == without_version(other) && track(one) == track(other)
}

/// What two compatible versions have in common: `0.2` of `0.2.6`, `1` of `1.4.0`. The whole of a pre-release.
pub(crate) fn track(name: &str) -> Option<&str> {
    let (_, version) = name.split_once('@')?;
    if version.contains('-') {
        return Some(version);
    }
    let version = version.split('+').next().unwrap_or(version);
    // Up to the first number that is not 0, and that.
    let mut end = 0;
    for number in version.split('.') {
        end += number.len();
        if number.bytes().any(|digit| digit != b'0') {
            break;
        }
        end += 1;
    }
    Some(version.get(..end).unwrap_or(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_up_to_a_compatible_version() {
        for (one, other, compatible) in [
            ("wasi:cli/stdout@0.2.0", "wasi:cli/stdout@0.2.9", true),
            ("wasi:cli/stdout@0.2.0", "wasi:cli/stdout@0.3.0", false),
            ("wasi:cli/stdout@0.2.0", "wasi:cli/stderr@0.2.0", false),
            ("a:b/c@1.2.3", "a:b/c@1.9.0", true),
            ("a:b/c@1.2.3", "a:b/c@2.2.3", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.2.0-draft", "a:b/c@0.2.0", false),
            ("a:b/c@0.2.0+build", "a:b/c@0.2.1", true),
            ("a:b/c", "a:b/c", true),
            ("a:b/c", "a:b/c@0.1.0", false),
        ] {
            assert_eq!(are_compatible(one, other), compatible, "{one} and {other}");
        }
    }
}
