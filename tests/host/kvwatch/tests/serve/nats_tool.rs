//! The two commands of the tool `nats` that the README has.

use async_nats::jetstream;

use crate::record::Failure;

/// The argument that makes this program the tool.
pub(crate) const COMMAND: &str = "nats-tool";

pub(crate) fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

async fn run(arguments: &[&str]) -> Result<(), Failure> {
    // A person types more slowly than a server starts.
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let context = jetstream::new(options.connect(std::env::var("NATS_URL")?).await?);
    while context.query_account().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    match arguments {
        ["kv", "add", bucket, "--history", history] => {
            context.create_stream(crate::nats_server::bucket(bucket, history.parse()?)).await?;
        }
        ["kv", "put", bucket, key, value] => {
            let sent = context.publish(format!("$KV.{bucket}.{key}"), (*value).to_owned().into());
            sent.await?.await?;
        }
        other => return Err(format!("this stand-in for nats does not know {other:?}").into()),
    }
    Ok(())
}
