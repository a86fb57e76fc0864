//! The names of interfaces, with their versions.

/// The name without its version: `wasi:cli/stdout` for `wasi:cli/stdout@0.2.6`.
pub(crate) fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

/// Whether one interface can replace the other: the names are equal, and the versions are compatible by the rules of semver.
///
/// Tools that build components merge compatible versions, and so does a host that links them.
pub(crate) fn are_compatible(one: &str, other: &str) -> bool {
    without_version(one) == without_version(other) && track(one) == track(other)
}

/// The part that compatible versions have in common: `0.2` for `0.2.6`, `1` for `1.4.0`. A pre-release is compatible only with
/// itself.
pub(crate) fn track(name: &str) -> Option<&str> {
    let (_, version) = name.split_once('@')?;
    if version.contains('-') {
        return Some(version);
    }
    let version = version.split('+').next().unwrap_or(version);
    // All numbers up to the first one that is not 0, which is included.
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
