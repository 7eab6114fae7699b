//! How a command can fail, and the exit code of each: the one place that knows contract §1.

use crate::{client::ClientError, live::Refused};
use firmware_config::Fault;
use std::io;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Unavailable(String),
    /// What `config check` can see. One fault a line.
    #[error("{}", lines(.0))]
    InvalidConfig(Vec<Fault>),
    /// The same, as a running appliance said it.
    #[error("{0}")]
    InvalidThere(String),
    #[error("{0}")]
    NotAllowed(String),
}

impl Failure {
    /// Contract §1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Conflict(_) => 4,
            Self::Unavailable(_) => 5,
            Self::InvalidConfig(_) | Self::InvalidThere(_) => 6,
            Self::NotAllowed(_) => 7,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let said = refused.to_string();
        match refused {
            // Nobody has to edit anything: a host that has come up further will do.
            Refused::Invalid(faults) if faults.iter().all(|fault| fault.of_host) => {
                Self::Failed(said)
            }
            Refused::Invalid(faults) => Self::InvalidConfig(faults),
            Refused::Conflict { .. } => Self::Conflict(said),
            Refused::NoSuchGeneration(_) => Self::NotFound(said),
            Refused::Disk(_) => Self::Failed(said),
            Refused::Pump(_) => Self::Unavailable(said),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let said = error.to_string();
        match error {
            ClientError::Refused { status: 401 | 403, .. } => Self::NotAllowed(said),
            ClientError::Refused { status: 404, .. } => Self::NotFound(said),
            ClientError::Refused { status: 409, .. } => Self::Conflict(said),
            ClientError::Refused { status: 422, .. } => Self::InvalidThere(said),
            ClientError::Refused { status: 503 | 504, .. } | ClientError::NotReached { .. } => {
                Self::Unavailable(said)
            }
            ClientError::Refused { .. } | ClientError::NotUnderstood { .. } => Self::Failed(said),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16) -> u8 {
        let refused = ClientError::Refused { status, detail: "no".to_owned() };
        Failure::from(refused).exit_code()
    }

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let text = String::new;
        let all = [
            Failure::Failed(text()),
            Failure::Usage(text()),
            Failure::NotFound(text()),
            Failure::Conflict(text()),
            Failure::Unavailable(text()),
            Failure::InvalidConfig(vec![]),
            Failure::NotAllowed(text()),
        ];

        assert!(all.iter().map(Failure::exit_code).eq(1..=7));
    }

    #[test]
    fn what_the_appliance_answers_decides_the_exit_code() {
        for (status, wanted) in [
            (401, 7),
            (403, 7),
            (404, 3),
            (409, 4),
            (422, 6),
            (503, 5),
            (504, 5),
            (400, 1),
            (500, 1),
            (501, 1),
        ] {
            assert_eq!(code(status), wanted, "{status}");
        }
    }

    #[test]
    fn an_appliance_that_is_not_there_is_unavailable() {
        let gone = ClientError::NotReached { url: "http://x".to_owned(), why: "no".to_owned() };

        assert_eq!(Failure::from(gone).exit_code(), 5);
    }
}
