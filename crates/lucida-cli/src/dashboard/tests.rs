use lucida::core::BatchReport;
use lucida::data::Image;
use lucida::train::EpochRecord;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::Example;
use super::{Board, draw, stops};

fn board() -> Board {
    let names = ["cats", "dogs"].map(String::from).to_vec();
    let mut board = Board::new("basic_cnn on photos".to_owned(), "4,894,913 parameters".to_owned(), names, 5);
    board.examples.push(Example {
        image: Image::filled(16, 16, &[200, 100, 50]),
        label: 1,
        input: Vec::new(),
        prediction: Some((0, 0.75)),
    });
    for epoch in 1..=3 {
        board.end_epoch(&record(epoch), true);
    }
    board.count(&BatchReport {
        epoch: 4,
        step: 30,
        steps: 100,
        loss: 0.25,
        accuracy: Some(0.9),
        step_loss: 0.125,
        learning_rate: 1e-3,
        samples: 32,
    });
    board
}

fn record(epoch: usize) -> EpochRecord {
    EpochRecord {
        epoch,
        loss: 1.0 / epoch as f64,
        accuracy: Some(1.0 - 0.5 / epoch as f64),
        val_loss: Some(1.5 / epoch as f64),
        val_accuracy: Some(0.875),
        learning_rate: 1e-3,
        seconds: 1.0,
        ..EpochRecord::default()
    }
}

fn screen(board: &Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, board)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn everything_is_on_a_wide_screen() {
    let text = screen(&board(), 120, 40);
    for part in [
        "basic_cnn on photos",
        "4,894,913 parameters",
        "training 0.2500",
        "validation 0.5000",
        "step 30 of 100",
        "epoch 4 of 5",
        "best epoch 3: loss 0.5000, accuracy 87.50 %",
        "1.00e-3",
        "✗ cats 75 %",
        "▀▀▀▀",
        "q stops",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_small_screen_and_an_empty_board_are_drawn() {
    for (width, height) in [(1, 1), (20, 5), (60, 12), (99, 20), (250, 80)] {
        screen(&board(), width, height);
        screen(&Board::new(String::new(), String::new(), Vec::new(), 1), width, height);
    }
}

#[test]
fn keys_that_stop() {
    let key = |code, modifiers| stops(KeyEvent::new(code, modifiers));
    assert!(key(KeyCode::Char('q'), KeyModifiers::NONE) && key(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
}
