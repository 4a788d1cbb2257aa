"""Evaluations: how often each way of answering is right, and at what cost, measured on your own questions."""

from rlmbox.evaluation.arms import DirectArm, OwnAnswer, OwnArm, RlmArm
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, read_evaluation
from rlmbox.evaluation.outcomes import Arm, Estimate, Outcome, Result, Trial
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question, load_questions
from rlmbox.evaluation.report import report_of
from rlmbox.evaluation.running import Evaluation, Plan, estimate, head_of

__all__ = [
    "Arm",
    "DirectArm",
    "Estimate",
    "Evaluation",
    "EvaluationJournal",
    "Outcome",
    "OwnAnswer",
    "OwnArm",
    "Plan",
    "Question",
    "Recorded",
    "Result",
    "RetrievalArm",
    "RlmArm",
    "Trial",
    "estimate",
    "head_of",
    "load_questions",
    "read_evaluation",
    "report_of",
]
