//! The order itself: sent, shown while it is under way, and waited for to the end of its rollouts.

use std::pin::pin;

use skep_policy::name::ServiceName;

use super::DeployError;
use super::progress::Progress;
use super::rollout::Rollouts;
use crate::cli::api::{Done, Event};
use crate::cli::client::{Ask, ClientError, Feed, Target};
use crate::cli::events::newest_id;

/// Sends the order and returns what became of it; if wanted, only when its rollouts are over.
pub(super) async fn send(
    target: &Target,
    ask: Ask,
    names: &[ServiceName],
    wait: bool,
    progress: &mut Progress,
) -> Result<Done, DeployError> {
    // Before anything is sent, so that nothing that comes of it is missed.
    let mut feed = match (wait, progress.is_shown()) {
        (true, _) => Some(follow(target, names).await?),
        (false, true) => follow(target, names).await.ok(),
        (false, false) => None,
    };
    let mut seen = Vec::new();
    let answer = {
        let mut sent = pin!(target.send(ask));
        loop {
            tokio::select! {
                biased;
                answer = &mut sent => break answer?,
                message = next(&mut feed) => match message {
                    Some(event) => {
                        progress.event(&event);
                        seen.push(event);
                    }
                    // Progress is not worth failing for; what waits will ask again.
                    None => feed = None,
                },
            }
        }
    };
    progress.end();
    let mut done: Done = target.decode(&answer)?;
    if wait {
        let mut rollouts = Rollouts::begun(&done);
        if !rollouts.are_over() {
            let feed = match feed {
                Some(feed) => feed,
                None => follow(target, names).await?,
            };
            rollouts.follow(target, feed, seen, progress).await?;
        }
        rollouts.tell(&mut done);
    }
    Ok(done)
}

/// What happens from now on; of one service, or of all.
async fn follow<'t>(target: &'t Target, names: &[ServiceName]) -> Result<Feed<'t>, ClientError> {
    let of = match names {
        [name] => format!("service={name}&"),
        _ => String::new(),
    };
    let after = newest_id(target, &of).await?;
    target.follow(format!("/v1/events?{of}after={after}")).await
}

/// The next event; None if there is none to be had any more. Without a feed it never comes.
async fn next(feed: &mut Option<Feed<'_>>) -> Option<Event> {
    match feed {
        None => std::future::pending().await,
        Some(feed) => loop {
            let message = feed.next().await.ok()?;
            // What is no event is not for this version.
            if let Ok(event) = serde_json::from_str(&message.data) {
                return Some(event);
            }
        },
    }
}
