// An element of the page by its name.
export const part = (id) => document.getElementById(id);
