// Says hello to itself through the chat service, and shows what that sends.
const heard = document.getElementById("heard");
const show = (text) => {
    heard.append(Object.assign(document.createElement("li"), { textContent: text }));
    // Whoever shows this page in a frame may know.
    if (parent !== window && text.includes("hello")) parent.postMessage(text, "*");
};
const path = new URLSearchParams(location.search).get("chat") ?? "/chat";
const chat = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
chat.onmessage = (event) => {
    show(event.data);
    const me = event.data.match(/^you are (\w+)$/);
    if (me) chat.send(`${me[1]} hello from a page`);
};
chat.onclose = (event) => show(`closed: ${event.code}`);
