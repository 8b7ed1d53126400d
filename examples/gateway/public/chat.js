// Says hello to the chat service and shows what it answers.
const heard = document.getElementById("heard");
const show = (text) => heard.append(Object.assign(document.createElement("li"), { textContent: text }));
const chat = new WebSocket(new URL("/chat", location.href.replace(/^http/, "ws")));
chat.onopen = () => chat.send("hello from a page");
chat.onmessage = (event) => show(event.data);
chat.onclose = (event) => show(`closed: ${event.code}`);
