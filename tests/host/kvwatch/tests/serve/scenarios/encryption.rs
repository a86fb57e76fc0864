//! Tests TLS: the trust of both sides, and the messages without it. Also several servers in one address.

use std::path::Path;

use async_nats::ConnectOptions;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::access::{Start, folder, handles};
use super::programs::logged;
use super::{pause, setup, tests};
use crate::nats_server::{Server, free_port};
use crate::program::Program;
use crate::record::Failure;

tests!(
    tls_with_a_known_authority_works_and_each_mistake_is_told,
    tls_with_certificates_of_both_sides_works_and_a_missing_one_is_told,
    tls_first_works_where_both_sides_do_it,
    several_servers_in_one_address_are_tried_in_turn,
);

/// An authority that issues certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self, Failure> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes a certificate for this name and its key to `NAME.pem` and `NAME.key`.
    fn issue(&self, folder: &Path, name: &str, host: &str) -> Result<(), Failure> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &self.issuer)?;
        std::fs::write(folder.join(name).with_extension("pem"), certificate.pem())?;
        std::fs::write(folder.join(name).with_extension("key"), key.serialize_pem())?;
        Ok(())
    }
}

/// A folder with a watcher, the authority of the server, and an unknown authority.
fn authorities() -> Result<(tempfile::TempDir, Authority), Failure> {
    let folder = folder()?;
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    std::fs::write(folder.path().join("ca.pem"), &ours.pem)?;
    std::fs::write(folder.path().join("other-ca.pem"), &theirs.pem)?;
    ours.issue(folder.path(), "server", "127.0.0.1")?;
    ours.issue(folder.path(), "elsewhere", "example.org")?;
    ours.issue(folder.path(), "client", "kvwatch")?;
    theirs.issue(folder.path(), "stranger", "kvwatch")?;
    Ok((folder, ours))
}

/// The part of a server's configuration about TLS. The test itself connects as the client of the folder.
fn config(folder: &Path, server: &str, more: &str) -> (String, ConnectOptions) {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", {more} }}",
        path(&format!("{server}.pem")),
        path(&format!("{server}.key")),
        path("ca.pem"),
    );
    let connect = ConnectOptions::new()
        .add_root_certificates(folder.join("ca.pem"))
        .add_client_certificate(folder.join("client.pem"), folder.join("client.key"));
    (text, connect)
}

async fn tls_with_a_known_authority_works_and_each_mistake_is_told() -> Result<(), Failure> {
    let (folder, _) = authorities()?;
    let folder = folder.path();
    let (text, connect) = config(folder, "server", "");
    let mut server = Server::configured(&text, connect).await?;
    let context = server.bucket("b", 10).await?;
    let (plain, from) = (format!("{}/b", server.url()), format!("tls://127.0.0.1:{}/b", server.port));
    std::fs::write(folder.join("empty.pem"), "hunter2")?;
    Start::of(&from, &["--tls-ca", "ca.pem"], &[]).works(folder, &context).await?;
    // The server asks for TLS, so the address does not have to.
    Start::of(&plain, &["--tls-ca", "ca.pem"], &[]).works(folder, &context).await?;
    let unknown = ["no TLS connection to", "invalid peer certificate", "with --tls-ca"];
    Start::of(&from, &["--tls-ca", "other-ca.pem"], &[]).is_refused(folder, 1, &unknown).await?;
    Start::of(&from, &["--tls-ca", "other-ca.pem", "--wait"], &[]).is_refused(folder, 1, &unknown).await?;
    Start::of(&from, &[], &[]).is_refused(folder, 1, &unknown).await?;
    Start::of(&from, &["--tls-ca", "missing.pem"], &[]).is_refused(folder, 2, &["--tls-ca missing.pem", "PEM"]).await?;
    Start::of(&from, &["--tls-ca", "empty.pem"], &[])
        .is_refused(folder, 2, &["--tls-ca empty.pem", "no certificate"])
        .await?;
    Start::of(&from, &["--tls-ca", "ca.pem", "--tls-first"], &[])
        .is_refused(folder, 1, &["remove --tls-first"])
        .await?;
    // The connection is encrypted again after a restart.
    let arguments = ["watcher.wasm", "--from", &from, "--name", "audit", "--tls-ca", "ca.pem"];
    let mut program = Program::start_with(folder, &arguments, [])?;
    handles(folder, &context).await?;
    server.restart(std::time::Duration::from_millis(300)).await?;
    handles(folder, &context).await?;
    program.signal("-TERM")?;
    program.end().await?;
    let (text, _) = config(folder, "elsewhere", "");
    let elsewhere = Server::unasked(&text).await?;
    let from = format!("tls://127.0.0.1:{}/b", elsewhere.port);
    Start::of(&from, &["--tls-ca", "ca.pem"], &[])
        .is_refused(folder, 1, &["no TLS connection", "a name of the server"])
        .await?;
    let (bare, _context, _, _) = setup().await?;
    let from = format!("tls://127.0.0.1:{}/b", bare.port);
    Start::of(&from, &["--tls-ca", "ca.pem"], &[]).is_refused(folder, 1, &["does not offer TLS"]).await
}

async fn tls_with_certificates_of_both_sides_works_and_a_missing_one_is_told() -> Result<(), Failure> {
    let (folder, _) = authorities()?;
    let folder = folder.path();
    let (text, connect) = config(folder, "server", "verify: true");
    let server = Server::configured(&text, connect).await?;
    let context = server.bucket("b", 10).await?;
    let from = format!("tls://127.0.0.1:{}/b", server.port);
    let ca = ["--tls-ca", "ca.pem"];
    let with = |certificate, key| [&ca[..], &["--tls-cert", certificate, "--tls-key", key]].concat();
    Start::of(&from, &with("client.pem", "client.key"), &[]).works(folder, &context).await?;
    Start::of(&from, &ca, &[]).is_refused(folder, 1, &["no TLS connection to", "add --tls-cert and --tls-key"]).await?;
    let stranger = with("stranger.pem", "stranger.key");
    Start::of(&from, &stranger, &[])
        .is_refused(folder, 1, &["no TLS connection to", "the certificate of --tls-cert"])
        .await?;
    Start::of(&from, &with("client.pem", "client.pem"), &[])
        .is_refused(folder, 2, &["--tls-key client.pem", "no private key"])
        .await?;
    let mixed = with("client.pem", "stranger.key");
    Start::of(&from, &mixed, &[]).is_refused(folder, 1, &["no TLS connection to", "--tls-cert and --tls-key"]).await?;
    Start::of(&from, &["--tls-ca", "ca.pem", "--tls-cert", "client.pem"], &[])
        .is_refused(folder, 2, &["belong together"])
        .await
}

async fn tls_first_works_where_both_sides_do_it() -> Result<(), Failure> {
    let (folder, _) = authorities()?;
    let folder = folder.path();
    let (text, connect) = config(folder, "server", "handshake_first: true");
    let server = Server::configured(&text, connect.tls_first()).await?;
    let context = server.bucket("b", 10).await?;
    let from = format!("tls://127.0.0.1:{}/b", server.port);
    Start::of(&from, &["--tls-ca", "ca.pem", "--tls-first"], &[]).works(folder, &context).await?;
    // The server sends nothing, like a server that hangs.
    Start::of(&from, &["--tls-ca", "ca.pem"], &[])
        .is_refused(folder, 4, &["cannot connect to tls://", "add --tls-first"])
        .await
}

async fn several_servers_in_one_address_are_tried_in_turn() -> Result<(), Failure> {
    let (mut server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    let (down, spare) = (free_port(), free_port());
    let from = format!("nats://127.0.0.1:{down},127.0.0.1:{},localhost:{spare}/b", server.port);
    let start = Start { from: &from, arguments: &[], variables: &[] };
    start.works(folder, &context).await?;
    // The second server stops while a program runs, and starts again.
    let mut program = Program::start_with(folder, &["watcher.wasm", "--from", &from, "--name", "audit"], [])?;
    logged(folder, "\"message\":\"watching\"").await?;
    handles(folder, &context).await?;
    server.kill()?;
    pause(1000).await;
    server.start_again().await?;
    handles(folder, &context).await?;
    program.signal("-TERM")?;
    program.end().await?;
    server.kill()?;
    let both = [&*format!("127.0.0.1:{down}"), &*format!("127.0.0.1:{}", server.port)];
    start.is_refused(folder, 4, &both).await
}
