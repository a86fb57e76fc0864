use std::fmt;
use std::str::FromStr;

/// The WebAssembly target that a package is built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// `wasm32-unknown-unknown`: the component imports the world and nothing else.
    UnknownUnknown,
    /// `wasm32-wasip1`: what `cargo component build` builds for.
    Wasip1,
    /// `wasm32-wasip2`.
    #[default]
    Wasip2,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::UnknownUnknown, Self::Wasip1, Self::Wasip2];

    /// Its name, as `cargo build --target` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUnknown => "wasm32-unknown-unknown",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

impl From<Target> for wasm_targets::Target {
    fn from(target: Target) -> Self {
        match target {
            Target::UnknownUnknown => Self::UnknownUnknown,
            Target::Wasip1 => Self::Wasip1,
            Target::Wasip2 => Self::Wasip2,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not the name of a [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no target {0:?}: it is wasm32-unknown-unknown, wasm32-wasip1 or wasm32-wasip2")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        Self::ALL.into_iter().find(|target| target.as_str() == name).ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_known_by_their_names() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        assert!("wasm32-wasi".parse::<Target>().is_err());
    }
}
