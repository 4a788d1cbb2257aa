"""Assembly of a session's parts: each lives in its own file and knows only the parts passed to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from rlmbox.context import Context
from rlmbox.loop.answers import AnswerRules
from rlmbox.loop.bridge import Bridge
from rlmbox.loop.children import Children, OpenChild
from rlmbox.loop.decisions import Decisions
from rlmbox.loop.feedback import Feedback
from rlmbox.loop.history import History
from rlmbox.loop.namespace import SessionNamespace
from rlmbox.loop.opening import SessionOpening
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.proposals import Proposals
from rlmbox.loop.question_end import QuestionEnd
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.repl_table import ReplTable
from rlmbox.loop.retrieving import Retrieval
from rlmbox.loop.scope import Scope
from rlmbox.loop.subcalls import Subcalls
from rlmbox.loop.verdicts import Verdicts
from rlmbox.models.base import Model


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts of one session.

    Attributes:
        recorder: Records its events.
        history: The conversation.
        retrieval: The functions over an index; None for none.
        subcalls: The functions that reach other models.
        answers: The functions with which code submits an answer, and the rules.
        table: Everything that has a name in the REPL.
        namespace: The variables, and the sandbox that holds them.
        opening: The beginning of the session.
        proposals: Asks the model.
        decisions: The approver's decisions on proposals.
        verdicts: Accepts or sends back proposed answers.
        feedback: Reports the results of its code to the model.
        end: The end of a question without an answer.
    """

    recorder: SessionRecorder
    history: History
    retrieval: Retrieval | None
    subcalls: Subcalls
    answers: AnswerRules
    table: ReplTable
    namespace: SessionNamespace
    opening: SessionOpening
    proposals: Proposals
    decisions: Decisions
    verdicts: Verdicts
    feedback: Feedback
    end: QuestionEnd

    @classmethod
    def of(
        cls,
        scope: Scope,
        model: Model,
        context: Context,
        inputs: Mapping[str, object],
        options: SessionOptions,
        *,
        max_turns: int,
        open_child: OpenChild,
        enter_loop: Callable[[], Awaitable[None]],
        budget: Callable[[], dict[str, float | int | None]],
        tool_timeout_s: Callable[[], float],
    ) -> SessionParts:
        """Return the parts of a session.

        Args:
            scope: The session.
            model: Its model.
            context: Its text.
            inputs: Further variables, by name.
            options: Its options.
            max_turns: Maximum number of turns of a question.
            open_child: Runs a child session.
            enter_loop: Makes sure that code can run.
            budget: Returns what is left of the limits.
            tool_timeout_s: Returns the timeout of a call of a user's tool, in seconds.
        """
        recorder, history = SessionRecorder(scope), History("")
        retrieval = Retrieval.over(scope, context, tool_timeout_s)
        fetch = (retrieval.fetch,) if retrieval is not None else ()
        bridge = Bridge(scope, (*options.middleware, *fetch))
        subcalls = Subcalls(scope)
        bridge.stop = subcalls.stop
        answers = AnswerRules(
            options.auto_finalize_var,
            strict=options.strict,
            approves=options.approval is not None,
            rules=options.rules,
        )
        namespace = SessionNamespace(recorder, bridge, context, inputs, answers.variables(), enter_loop)
        table = ReplTable(
            recorder,
            context,
            inputs,
            bridge=bridge,
            subcalls=subcalls,
            children=Children(scope, subcalls, context, inputs, open_child),
            answers=answers,
            retrieval=retrieval,
            budget=budget,
            tool_timeout_s=tool_timeout_s,
        )
        return cls(
            recorder=recorder,
            history=history,
            retrieval=retrieval,
            subcalls=subcalls,
            answers=answers,
            table=table,
            namespace=namespace,
            opening=SessionOpening(
                recorder,
                model,
                context,
                options,
                table,
                namespace,
                history,
                inputs=inputs,
                retrieval_note=retrieval.note if retrieval is not None else "",
                max_turns=max_turns,
            ),
            proposals=Proposals(recorder, model, options, namespace, history),
            decisions=Decisions(scope, options.approval),
            verdicts=Verdicts(recorder, context, answers, retrieval, options.most_corrections),
            feedback=Feedback(recorder, model.name, namespace, history),
            end=QuestionEnd(recorder, model, answers, namespace, history),
        )
