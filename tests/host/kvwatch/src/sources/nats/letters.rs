use std::sync::Arc;

use async_nats::jetstream::Context;

use crate::serve::{BoxFuture, Cause, DeadLetters, Letter};

/// Dead letters to a NATS subject, each as the line of JSON that a file would get.
///
/// A stream must store the subject: a letter counts as written only after `JetStream` has confirmed it.
#[derive(Clone, Debug)]
pub struct SubjectLetters {
    pub(super) context: Context,
    pub(super) subject: String,
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
