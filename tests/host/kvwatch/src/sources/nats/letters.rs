use std::sync::Arc;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::GetStreamByNameErrorKind;

use super::error::Error;
use crate::serve::{BoxFuture, Cause, DeadLetters, Escaped, Letter};

/// Writes dead letters to a NATS subject, each as the line of JSON that a file would get.
///
/// A stream must store the subject: a letter counts as written only after `JetStream` has confirmed it.
#[derive(Clone, Debug)]
pub struct SubjectLetters {
    pub(super) context: Context,
    pub(super) subject: String,
}

impl SubjectLetters {
    /// Checks that a stream stores the subject, so that the user sees a mistake before the first dead letter.
    ///
    /// # Errors
    ///
    /// If no stream has the subject. It is not an error if the server does not let this user ask.
    pub async fn check(&self) -> Result<(), Error> {
        match self.context.stream_by_subject(&self.subject).await {
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => {
                Err(Error::NoStream { subject: Escaped(&self.subject).to_string() })
            }
            Err(error) => {
                tracing::warn!(
                    subject = %Escaped(&self.subject), cause = %Escaped(&error.to_string()),
                    "kvwatch cannot check that a stream stores dead letters"
                );
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

impl DeadLetters for SubjectLetters {
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>> {
        Box::pin(async move {
            let failed = |cause: Cause| -> Cause {
                format!(
                    "no stream confirmed the dead letter on the subject {}: {cause}; check that a stream has this subject",
                    self.subject
                )
                .into()
            };
            let sent = self.context.publish(self.subject.clone(), letter.to_line().into()).await;
            sent.map_err(|cause| failed(cause.into()))?.await.map_err(|cause| failed(cause.into()))?;
            Ok(())
        })
    }
}
