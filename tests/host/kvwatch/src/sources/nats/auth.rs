use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Who kvwatch is for the server. Secrets come from a file or the environment, never from a command line.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// The server asks for nothing.
    #[default]
    Nobody,
    /// A credentials file, as `nsc` writes it.
    CredentialsFile(PathBuf),
    /// A user with a password.
    User {
        /// The name of the user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// The seed of an `NKey`.
    NKey(Secret),
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Reads a secret from a file. White space at both ends is not part of it. `what` is for error messages, like
    /// `password`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not UTF-8, or is empty.
    pub fn from_file(what: &'static str, path: &Path) -> Result<Self, Error> {
        let error = |cause: String| Error::Secret { what, place: path.display().to_string(), cause };
        let text = std::fs::read_to_string(path).map_err(|cause| error(cause.to_string()))?;
        Self::of(&text).ok_or_else(|| error("it is empty".into()))
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    ///
    /// The variable is not set, is not UTF-8, or is empty.
    pub fn from_env(what: &'static str, variable: &str) -> Result<Self, Error> {
        let error =
            |cause: &str| Error::Secret { what, place: format!("the variable {variable}"), cause: cause.into() };
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

/// How the connection is encrypted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Refuse a connection without TLS. An address with `tls://` does this too.
    pub required: bool,
    /// Certificates of authorities to trust, besides those of the system (PEM).
    pub authorities: Option<PathBuf>,
    /// The client's own certificate and key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
    /// Begin with TLS at once, before the server says a word. The server must be configured for it.
    pub first: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = Secret::from_file("password", &path).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        let auth = Auth::User { user: "ada".into(), password: secret };
        assert!(!format!("{auth:?}").contains("hunter2"));
        std::fs::write(&path, " \n").unwrap();
        assert!(Secret::from_file("password", &path).unwrap_err().to_string().contains("it is empty"));
        let error = Secret::from_env("token", "KVWATCH_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert_eq!(error, "cannot read the token from the variable KVWATCH_NO_SUCH_VARIABLE: it is not set");
    }
}
