use std::path::PathBuf;

use crate::serve::Escaped;
use crate::sources::secret::Secret;

/// The credentials of kvwatch for the server. Secrets come from a file or the environment, never from a command line.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// No credentials.
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

impl Auth {
    /// Describes these credentials with their flag and without a secret.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nobody => "a connection without credentials".into(),
            Self::CredentialsFile(path) => {
                format!("the credentials of --credentials {}", Escaped(&path.display().to_string()))
            }
            Self::User { user, .. } => {
                format!(
                    "the user {} of --user (the password is from --password-file or KVWATCH_PASSWORD)",
                    Escaped(user)
                )
            }
            Self::Token(_) => "the token of --token-file or KVWATCH_TOKEN".into(),
            Self::NKey(_) => "the seed of --nkey-file or KVWATCH_NKEY".into(),
        }
    }

    /// The remedy if a server refuses them.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Nobody => "add --credentials, --user, --token-file or --nkey-file",
            Self::CredentialsFile(_) => "check that the file is for this server, has not expired and was not revoked",
            Self::User { .. } => "check the name, the password, and that the server knows the user",
            Self::Token(_) => "check that the server has this token",
            Self::NKey(_) => "check that it is the seed of a user, and that the server knows its public key",
        }
    }
}

/// How the connection is encrypted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Refuse a connection without TLS. An address with `tls://` does this too.
    pub required: bool,
    /// Certificates of authorities to trust instead of those of the system (PEM).
    pub authorities: Option<PathBuf>,
    /// The client's own certificate and key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
    /// Begin with TLS at once, before the server sends its greeting. The server must be configured for it.
    pub first: bool,
}
