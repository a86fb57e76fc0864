//! Passwords and tokens.

use std::fmt;
use std::path::Path;

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Reads a secret from a file, without the white space at both ends. Messages call the secret `what`, for example `password`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not UTF-8, or is empty.
    pub fn from_file(what: &'static str, path: &Path) -> Result<Self, BadSecret> {
        let error = |cause: String| BadSecret { what, place: path.display().to_string(), cause };
        let text = std::fs::read_to_string(path).map_err(|cause| error(cause.to_string()))?;
        Self::of(&text).ok_or_else(|| error("it is empty".into()))
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    ///
    /// The variable is not set, is not UTF-8, or is empty.
    pub fn from_env(what: &'static str, variable: &str) -> Result<Self, BadSecret> {
        let error = |cause: &str| BadSecret { what, place: format!("the variable {variable}"), cause: cause.into() };
        let text = std::env::var(variable).map_err(|cause| {
            // The error of a variable that is not UTF-8 shows its value.
            error(if cause == std::env::VarError::NotPresent { "it is not set" } else { "it is not UTF-8" })
        })?;
        Self::of(&text).ok_or_else(|| error("it is empty"))
    }

    pub(crate) fn reveal(&self) -> String {
        self.0.clone()
    }

    fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the {what} from {place}: {cause}")]
pub struct BadSecret {
    /// The name of the secret in messages.
    pub(crate) what: &'static str,
    /// The file or the environment variable.
    pub(crate) place: String,
    pub(crate) cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{nats, redis};

    #[test]
    fn a_secret_is_read_from_a_file_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = Secret::from_file("password", &path).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        for auth in [
            format!("{:?}", nats::Auth::User { user: "ada".into(), password: secret.clone() }),
            format!("{:?}", redis::Auth::Password(secret)),
        ] {
            assert!(!auth.contains("hunter2"), "{auth}");
        }
        std::fs::write(&path, " \n").unwrap();
        assert!(Secret::from_file("password", &path).unwrap_err().to_string().contains("it is empty"));
        let error = Secret::from_env("token", "KVWATCH_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert_eq!(error, "cannot read the token from the variable KVWATCH_NO_SUCH_VARIABLE: it is not set");
    }
}
