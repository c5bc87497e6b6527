//! How is what was learned of the tokens of targets kept? As a whole, in place of what was kept before. No administrator
//! made that change, so it has no audit event.

use rusqlite::{TransactionBehavior, params};

use crate::money::{AnswerExpectations, Learned, LearnedTokens, PromptExpectations};

use super::Store;
use super::error::StoreError;

impl Store {
    /// Keeps what was learned, and nothing else.
    ///
    /// # Errors
    /// [`StoreError`]; then what was kept before is kept.
    pub fn keep_learned(&self, learned: &[LearnedTokens]) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = self.begin(&mut connection, TransactionBehavior::Immediate)?;
        let write = || {
            transaction.execute("DELETE FROM expectations", [])?;
            let mut insert =
                transaction.prepare("INSERT INTO expectations VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for LearnedTokens {
                provider,
                base_url,
                model,
                learned,
            } in learned
            {
                let (scenario, numbers) = match learned {
                    Learned::Prompts(prompts) => (None, prompts.numbers()),
                    Learned::Answers(scenario, answers) => (Some(scenario), answers.numbers()),
                };
                // A list of numbers, whose JSON cannot fail.
                let numbers = serde_json::to_string(&numbers).unwrap_or_default();
                insert.execute(params![provider, base_url, model, scenario, numbers])?;
            }
            Ok(())
        };
        self.named(write())?;
        self.named(transaction.commit().map_err(StoreError::from))
    }

    /// What was learned, and how many rows hold nothing that this release can read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn learned(&self) -> Result<(Vec<LearnedTokens>, usize), StoreError> {
        let read = |connection: &rusqlite::Connection| {
            let sql = "SELECT provider, base_url, model, scenario, learned FROM expectations";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let (mut learned, mut damaged) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let scenario: Option<String> = row.get(3)?;
                let numbers: String = row.get(4)?;
                let numbers: Vec<u64> = serde_json::from_str(&numbers).unwrap_or_default();
                let known = match scenario {
                    None => PromptExpectations::of_numbers(&numbers)
                        .map(|prompts| Learned::Prompts(Box::new(prompts))),
                    Some(scenario) => AnswerExpectations::of_numbers(&numbers)
                        .map(|answers| Learned::Answers(scenario, Box::new(answers))),
                };
                match known {
                    Some(known) => learned.push(LearnedTokens {
                        provider: row.get(0)?,
                        base_url: row.get(1)?,
                        model: row.get(2)?,
                        learned: known,
                    }),
                    None => damaged += 1,
                }
            }
            Ok((learned, damaged))
        };
        let connection = self.connection();
        self.named(read(&connection))
    }
}
