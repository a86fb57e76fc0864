use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::{Client, ClientError, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::mpsc::UnboundedSender;

use super::Settings;
use super::auth::{Auth, Tls};
use super::error::Error;
use super::journal::Journal;
use super::tls;
use crate::serve::Escaped;
use crate::sources::secret::BadSecret;

/// The interval of pings. kvwatch notices a silent connection after two of them. The library's default would need more than 45 s.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time that a request waits for its answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A change of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Connected,
    Disconnected,
}

/// Connects once. After that, the library connects again for ever, to any of the servers. Its waits grow to 4 s.
pub(super) async fn connect(settings: &Settings, changes: UnboundedSender<Change>) -> Result<(Client, Context), Error> {
    let options = options(settings, changes).await?;
    let servers = settings.address.server_addresses()?;
    let client = options.connect(servers).await.map_err(|error| failed(settings, &error))?;
    let context = ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(client.clone());
    Ok((client, context))
}

async fn options(settings: &Settings, changes: UnboundedSender<Change>) -> Result<ConnectOptions, Error> {
    tls::check_files(&settings.tls)?;
    let journal = Arc::new(Journal::default());
    let Tls { required, authorities, client, first } = &settings.tls;
    let mut options = ConnectOptions::new()
        .name(format!("kvwatch serve {}", settings.name))
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .max_reconnects(None)
        .require_tls(*required || settings.address.requires_tls())
        .event_callback({
            let journal = Arc::clone(&journal);
            move |event| {
                let (journal, changes) = (Arc::clone(&journal), changes.clone());
                async move { report(&event, &journal, &changes) }
            }
        })
        // The library calls this before each attempt. kvwatch only reads the list of servers: the library chooses one.
        .reconnect_to_server_callback(move |servers, _| {
            journal.note(&servers);
            std::future::ready(None)
        });
    if *first {
        options = options.tls_first();
    }
    if let Some(path) = authorities {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = client {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(match &settings.auth {
        Auth::Nobody => options,
        Auth::CredentialsFile(path) => options.credentials_file(path).await.map_err(|cause| BadSecret {
            what: "credentials of --credentials",
            place: Escaped(&path.display().to_string()).to_string(),
            cause: format!("{}; name a file as nsc writes it", Escaped(&cause.to_string())),
        })?,
        Auth::User { user, password } => options.user_and_password(user.clone(), password.reveal()),
        Auth::Token(token) => options.token(token.reveal()),
        Auth::NKey(seed) => options.nkey(seed.reveal()),
    })
}

fn report(event: &Event, journal: &Journal, changes: &UnboundedSender<Change>) {
    let change = match event {
        Event::Connected => {
            journal.begin();
            tracing::info!("connected to the store");
            Change::Connected
        }
        Event::Disconnected => {
            tracing::warn!("the connection to the store is lost; connecting again");
            Change::Disconnected
        }
        // kvwatch itself has closed the connection. The journal logs the causes of failed attempts.
        Event::Draining | Event::Closed | Event::ClientError(ClientError::Other(_)) => return,
        other => {
            let event = other.to_string();
            if journal.is_new(&event) {
                tracing::warn!(event = %Escaped(&event), "the connection to the store reports an event");
            }
            return;
        }
    };
    // The receiver is gone when the source is.
    let _ = changes.send(change);
}

fn failed(settings: &Settings, error: &ConnectError) -> Error {
    let (servers, cause) = (settings.address.servers(), Escaped(&error.to_string()).to_string());
    if let Some(fault) = tls::fault(error) {
        return fault.into_error(servers, &settings.tls);
    }
    let refused = |cause: &str| Error::Refused {
        servers: servers.clone(),
        login: settings.auth.describe(),
        cause: cause.to_owned(),
        remedy: settings.auth.remedy(),
    };
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => refused("authorization violation"),
        // Nothing was sent to the server.
        ConnectErrorKind::Authentication => refused("it cannot sign what the server sent"),
        ConnectErrorKind::Tls => Error::Tls { servers, cause, remedy: tls::CHECK },
        // A server that begins with TLS waits for the client's first word, and closes the connection in the end.
        ConnectErrorKind::TimedOut | ConnectErrorKind::Io
            if settings.address.requires_tls() && !settings.tls.first && !tls::is_refused(error) =>
        {
            let cause = format!("{cause} (if the server begins with TLS, add --tls-first)");
            Error::Unreachable { servers, cause }
        }
        _ => Error::Unreachable { servers, cause },
    }
}
