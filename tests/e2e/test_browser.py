"""
What a user sees in Airflow's UI, in a real browser: the connection form, its Test button, the buttons of a task.

With ``E2E_SCREENSHOTS=<folder>`` the pictures of the documentation are made anew there.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from tests.support.browser import chromium
from tests.support.certificates import Authority
from tests.support.proxy import LoopbackProxy
from tests.support.scenarios import Launched, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI

BOT = "st-demo-travel"
PATIENCE = 60
OPEN_BOT, OPEN_FILE = "Open in Kore.ai", "Exported file"
SCREENSHOTS = os.environ.get("E2E_SCREENSHOTS")


class Browser:
    """
    Finds things as a user does, by their texts, and waits for them.

    :param driver: Selenium's.
    :param base_url: Airflow's.
    :param pictures: where screenshots go.
    """

    def __init__(self, driver: Any, base_url: str, pictures: Path) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        self._driver = driver
        self._base_url = base_url
        self._pictures = pictures
        self._wait = WebDriverWait(driver, PATIENCE)

    def open(self, path: str) -> None:
        """Go to a page of Airflow's."""
        self._driver.get(f"{self._base_url}/{path}")

    def find(self, xpath: str) -> Any:
        """Wait for an element that can be seen."""
        from selenium.webdriver.support import expected_conditions

        return self._wait.until(expected_conditions.visibility_of_element_located(("xpath", xpath)))

    def click(self, xpath: str) -> None:
        """Wait for an element, and click on it."""
        from selenium.webdriver.support import expected_conditions

        self._wait.until(expected_conditions.element_to_be_clickable(("xpath", xpath))).click()

    def wait_until_gone(self, xpath: str) -> None:
        """Wait until an element cannot be seen."""
        from selenium.webdriver.support import expected_conditions

        self._wait.until(expected_conditions.invisibility_of_element_located(("xpath", xpath)))

    def wait_until_still(self, xpath: str) -> None:
        """Wait until an element has stopped moving."""
        seen: list[Any] = []

        def is_still(_: Any) -> bool:
            seen.append(self.find(xpath).rect)
            return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

        self._wait.until(is_still)

    def fill(self, name: str, value: str) -> None:
        """Fill a field of a form in."""
        field = self.find(f"//*[@name='{name}']")
        field.clear()
        field.send_keys(value)

    def listen(self, xpath: str) -> None:
        """Note what an element says that is soon gone again, from now on; see :meth:`heard`."""
        self._driver.execute_script(
            """
            const [xpath] = arguments;
            new MutationObserver(() => {
                window.heard ||= document.evaluate(xpath, document, null, XPathResult.STRING_TYPE).stringValue;
            }).observe(document.body, {subtree: true, childList: true, characterData: true});
            """,
            xpath,
        )

    def heard(self) -> str:
        """What the element said that :meth:`listen` was told of; waits for it."""
        text: str = self._wait.until(lambda driver: driver.execute_script("return window.heard"))
        return text

    def open_details(self, run: Launched, task_id: str) -> None:
        """Go to the page of a task that is over, where its buttons are."""
        self.open(f"dags/{run.dag_id}/runs/{quote(run.run_id)}/tasks/{task_id}/details")

    def buttons(self) -> dict[str, str]:
        """The buttons of the task that is open, and where they lead to; all of them come at once."""
        links = "//*[normalize-space()='Extra Links']/following-sibling::*//a"
        self.find(links)
        return {e.text.strip(): e.get_attribute("href") for e in self._driver.find_elements("xpath", links)}

    def picture(self, name: str) -> None:
        """Take a screenshot."""
        assert self._driver.save_screenshot(str(self._pictures / name))


@pytest.fixture(scope="module")
def browser(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pictures = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path_factory.mktemp("pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield Browser(driver, deployment.api.base_url, pictures)


FORM = "//*[@role='dialog']"
# It is shown for two seconds, and grows and shrinks in them.
MESSAGE = "//*[@data-scope='toast' and @data-part='description']"


@pytest.fixture
def open_form(browser: Browser) -> Callable[[str], None]:
    """Opens the form for a new connection of type Kore.ai."""

    def open_it(conn_id: str) -> None:
        browser.open("connections")
        browser.click("//button[normalize-space()='Add Connection']")
        browser.fill("connection_id", conn_id)
        browser.find(f"{FORM}//input[@role='combobox']").send_keys("kore")
        browser.click("//*[@role='option'][normalize-space()='Kore.ai']")
        browser.find("//*[@name='password']")

    return open_it


def label_of(browser: Browser, name: str) -> str:
    """The label beside a field of the form."""
    text: str = browser.find(f"//*[@name='{name}']/ancestor::*[@role='group' and .//label][1]//label").text
    return text.strip()


def test_the_form_has_kore_ais_words_and_masks_the_secret(
    browser: Browser, open_form: Callable[[str], None]
) -> None:
    open_form("koreai_words")
    assert label_of(browser, "login") == "Client ID"
    assert label_of(browser, "password") == "Client Secret"
    assert browser.find("//*[@name='password']").get_attribute("type") == "password"
    assert browser.find("//*[@name='host']").get_attribute("placeholder") == "https://bots.kore.ai"
    assert "Schema" not in browser.find(FORM).text


def test_the_form_has_a_field_with_help_for_each_further_setting(
    browser: Browser, open_form: Callable[[str], None]
) -> None:
    from airflow_provider_koreai.connection_form import CONN_FIELDS

    open_form("koreai_extra")
    browser.click(f"{FORM}//button[normalize-space()='Extra Fields']")
    browser.find("//*[@name='element_bot_id']")
    browser.wait_until_still("//*[@name='element_bot_id']")
    shown = browser.find(FORM).text
    for field in CONN_FIELDS.values():
        assert field["label"] in shown
        assert field["description"] in shown
    # A setting that is left alone shows its default, and not the word for nothing.
    assert "null" not in shown


@pytest.fixture
def message_of_test(
    browser: Browser, open_form: Callable[[str], None], emulator: EmulatorProcess
) -> Callable[..., str]:
    """Fills a form in, saves it and presses Test; gives what the UI says then."""

    def press_test(conn_id: str, secret: str, port: int | None = None, picture: bool = False) -> str:
        open_form(conn_id)
        address = urlsplit(emulator.base_url)
        browser.fill("host", f"{address.scheme}://{address.hostname}")
        browser.fill("port", str(port or address.port))
        browser.fill("login", emulator.client_id)
        browser.fill("password", secret)
        if picture:
            browser.picture("connection-form.png")
        browser.click(f"{FORM}//button[normalize-space()='Extra Fields']")
        browser.wait_until_still("//*[@name='element_bot_id']")
        browser.fill("element_bot_id", BOT)
        browser.click(f"{FORM}//button[normalize-space()='Save']")
        browser.wait_until_gone(FORM)
        browser.open("connections")
        test = f"//tr[td[normalize-space()='{conn_id}']]//button[@aria-label='Test Connection']"
        browser.find(test)
        browser.listen(MESSAGE)
        browser.click(test)
        text = browser.heard()
        if picture and SCREENSHOTS:
            browser.find(MESSAGE)
            browser.picture("connection-test.png")
        return text

    return press_test


def test_the_test_button_says_that_it_works(
    message_of_test: Callable[..., str], emulator: EmulatorProcess, koreai: KoreAI
) -> None:
    koreai.control.configure_bot(BOT, too_soon_seconds=0)
    koreai.start_export(BOT)
    said = message_of_test("koreai_works", emulator.client_secret, picture=True)
    assert "Kore.ai accepted the credentials" in said


def test_the_test_button_tells_a_wrong_secret(
    message_of_test: Callable[..., str], emulator: EmulatorProcess
) -> None:
    said = message_of_test("koreai_wrong", "another-secret-than-the-apps")
    assert "Kore.ai refused the credentials" in said
    assert "another-secret" not in said


def test_the_test_button_tells_a_host_that_does_not_answer(
    message_of_test: Callable[..., str], emulator: EmulatorProcess
) -> None:
    said = message_of_test("koreai_nobody", emulator.client_secret, port=9)
    assert "Kore.ai could not be reached: check the host and the network" in said


def test_the_test_button_tells_a_missing_scope(
    message_of_test: Callable[..., str], emulator: EmulatorProcess
) -> None:
    emulator.control.configure_bot(BOT, scope=False)
    try:
        said = message_of_test("koreai_scope", emulator.client_secret)
    finally:
        emulator.control.configure_bot(BOT, scope=True)
    assert "Kore.ai accepted the credentials, but the app lacks a scope" in said


@pytest.fixture(scope="module")
def example(deployment: Deployment, koreai: KoreAI, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """A run of the example DAG that is over."""
    conf = {"folder": str(tmp_path_factory.mktemp("browser-example"))}
    scenario = Scenario("example_koreai_export_utterances", {"seconds": 0}, conf=conf)
    run = Launched.launch(scenario, deployment, koreai)
    assert run.wait() == "success"
    return run


@pytest.mark.parametrize("task_id", ["export", "wait", "fetch"])
def test_each_task_has_a_button_that_opens_kore_ai(
    browser: Browser, example: Launched, emulator: EmulatorProcess, task_id: str
) -> None:
    browser.open_details(example, task_id)
    assert browser.buttons() == {OPEN_BOT: f"{emulator.base_url}/?botId={example.bot}"}


def test_a_run_over_many_bots_shows_the_bots_and_not_their_numbers(
    browser: Browser, deployment: Deployment, tmp_path: Path
) -> None:
    bots = ["st-demo-bank", "st-demo-retail"]
    run = deployment.trigger("example_koreai_many_bots", bot_ids=bots, folder=str(tmp_path))
    assert run.wait(240) == "success"
    browser.open(f"dags/{run.dag_id}/runs/{quote(run.run_id)}/")
    for bot in bots:
        browser.find(f"//table//td[normalize-space()='{bot}']")
    browser.picture("run-of-many-bots.png")


@pytest.fixture(scope="module")
def amazon(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    Plays Amazon S3 for the connection ``amazon``: with Amazon's host names, over TLS, behind a proxy.

    Has the bucket ``lake``. Gives the file with the CA to trust.
    """
    moto_server = pytest.importorskip("moto.server", reason="needs moto[server]")
    boto3 = pytest.importorskip("boto3")
    botocore_config = pytest.importorskip("botocore.config")
    serving = pytest.importorskip("werkzeug.serving")
    authority = Authority(tmp_path_factory.mktemp("amazon"))
    hosts = ("s3.amazonaws.com", "s3.us-east-1.amazonaws.com")
    certificate = authority.sign(*hosts, *(f"*.{host}" for host in hosts))
    server = serving.make_server(
        "127.0.0.1",
        0,
        moto_server.DomainDispatcherApplication(moto_server.create_backend_app),
        threaded=True,
        ssl_context=(str(certificate.chain), str(certificate.key)),
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    proxy = LoopbackProxy(server.server_port)
    try:
        boto3.client(
            "s3",
            config=botocore_config.Config(proxies={"https": proxy.url}),
            verify=str(authority.bundle),
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        ).create_bucket(Bucket="lake")
        extra = {"region_name": "us-east-1", "service_config": {"s3": {"proxy-uri": proxy.url}}}
        deployment.add_connection(
            "amazon", {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        )
        yield authority.bundle
    finally:
        proxy.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_file_in_amazon_s3_has_a_button_that_opens_it_in_its_console(
    browser: Browser, deployment: Deployment, koreai: KoreAI, emulator: EmulatorProcess, amazon: Path
) -> None:
    conf = {"path": "s3://lake/koreai/utterances.csv", "ca_bundle": str(amazon)}
    scenario = Scenario("koreai_to_s3", {"seconds": 0}, starts=True, conf=conf)
    run = Launched.launch(scenario, deployment, koreai)
    assert run.wait() == "success", run.log("fetch")
    browser.open_details(run, "fetch")
    assert browser.buttons() == {
        OPEN_BOT: f"{emulator.base_url}/?botId={run.bot}",
        OPEN_FILE: "https://console.aws.amazon.com/s3/object/lake?prefix=koreai%2Futterances.csv",
    }
    browser.picture("operator-links.png")
