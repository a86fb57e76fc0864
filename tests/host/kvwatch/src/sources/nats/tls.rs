//! Finds the cause of a TLS failure, and the remedy.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use async_nats::ConnectError;
use async_nats::rustls;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::auth::Tls;
use super::error::Error;
use crate::serve::Escaped;

/// The remedy for an unknown cause.
pub(super) const CHECK: &str = "check --tls-ca, --tls-cert and --tls-key, and the TLS settings of the server";

/// Checks the content of each file. The library would report some faults as a failed connection, and would accept a file without
/// a certificate, which trusts no server.
pub(super) fn check_files(tls: &Tls) -> Result<(), Error> {
    if let Some(path) = &tls.authorities {
        check_file("--tls-ca", path, "the certificates of authorities", has_certificates)?;
    }
    if let Some((certificate, key)) = &tls.client {
        check_file("--tls-cert", certificate, "the certificate of this client", has_certificates)?;
        check_file("--tls-key", key, "the key of --tls-cert", |pem| {
            PrivateKeyDer::from_pem_slice(pem).map(drop).map_err(|_| "it has no private key".into())
        })?;
    }
    Ok(())
}

fn has_certificates(pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| "a certificate in it is damaged".to_owned())?;
        count += 1;
    }
    if count == 0 { Err("it has no certificate".into()) } else { Ok(()) }
}

fn check_file(
    flag: &'static str,
    path: &Path,
    content: &'static str,
    check: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<(), Error> {
    let checked = std::fs::read(path).map_err(|cause| cause.to_string()).and_then(|pem| check(&pem));
    checked.map_err(|cause| Error::File {
        flag,
        path: Escaped(&path.display().to_string()).to_string(),
        cause,
        content,
    })
}

/// The report of TLS about a connection.
pub(super) struct Fault<'a>(&'a rustls::Error);

/// The report of TLS, if the connection failed because of TLS.
pub(super) fn fault(error: &ConnectError) -> Option<Fault<'_>> {
    causes(error).find_map(|error| error.downcast_ref()).map(Fault)
}

/// Whether no server listens at the address.
pub(super) fn is_refused(error: &ConnectError) -> bool {
    causes(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// An error with all its causes.
fn causes(error: &ConnectError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| {
        // An I/O error contains another error, which is not among its sources.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

impl Fault<'_> {
    pub(super) fn into_error(self, servers: String, tls: &Tls) -> Error {
        let remedy = self.remedy(tls);
        Error::Tls { servers, cause: Escaped(&self.0.to_string()).to_string(), remedy }
    }

    fn remedy(&self, tls: &Tls) -> &'static str {
        use rustls::{AlertDescription, CertificateError};
        match self.0 {
            // The authority is unknown, or has the same name as a known one.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                "name the certificate of the authority that issued the server's certificate with --tls-ca"
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "use a name of the server in --from that its certificate has",
            rustls::Error::InvalidCertificate(_) => "the server needs another certificate",
            rustls::Error::InvalidMessage(_) if tls.first => {
                "the server does not begin with TLS: remove --tls-first, or configure the server for it"
            }
            rustls::Error::InvalidMessage(_) => {
                "the server does not offer TLS: use nats:// in --from, or configure the server for TLS"
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "the server asks for a certificate of this client: add --tls-cert and --tls-key"
            }
            rustls::Error::AlertReceived(_) if tls.client.is_some() => {
                "the server does not accept the certificate of --tls-cert: use one of an authority that it trusts"
            }
            rustls::Error::AlertReceived(_) => {
                "the server may ask for a certificate of this client: add --tls-cert and --tls-key"
            }
            _ => CHECK,
        }
    }
}
