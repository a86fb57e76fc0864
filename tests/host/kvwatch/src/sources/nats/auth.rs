use std::path::PathBuf;

use crate::sources::secret::Secret;

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
